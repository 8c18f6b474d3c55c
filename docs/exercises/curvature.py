"""Chapter 7: the largest curvature, without the Hessian. Test it: pytest docs/exercises/test_curvature.py"""


def largest_curvature(f, x, steps=100):
    """The eigenvalue of f's Hessian at x that is largest in size, by power iteration.

    f takes an array of shape (n,) and returns one number. Use mg.hvp, which multiplies the Hessian by a vector.
    """
    raise NotImplementedError(
        "Chapter 7: write largest_curvature() in docs/exercises/curvature.py. Begin with a random v of length 1; "
        "`(Hv,) = mg.hvp(f, (x,), (v,))` is one product; divide it by its length to get the next v."
    )
