"""Chapter 4: backpropagation through time, by hand. Test it: pytest docs/exercises/test_bptt.py"""


def state_gradients(hs, W, own):
    """dL/dh_t for all t, (T, B, H), of h_t = tanh(b + h_{t-1} W + x_t U).

    hs (T, B, H) are the states, own (T, B, H) is what the loss gives to each state directly.
    """
    raise NotImplementedError(
        "Chapter 4: write state_gradients() in docs/exercises/bptt.py. The last state gets own[-1]. Each earlier one "
        "gets own[t] and what comes back from h_{t+1}: through tanh, whose slope is 1 - h², then through the product."
    )
