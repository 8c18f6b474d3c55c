"""Complete programs on minigrad and nn, one file per job: `python -m examples.NAME --help` says what each can do."""

import os

# The products of one time step are too small to share. A second BLAS thread gains a quarter on an idle machine, but
# waits for its turn at every product on a busy one, where a step then takes six times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
