"""Wrong derivatives, planted one at a time, to find out which of them a test suite sees (`run`)."""
