"""Chapter 3: a sum of cotangents. Test it: pytest docs/exercises/test_collect.py"""


def collect(shape, terms):
    """The sum of the terms, an array of this shape that shares no memory with any of them.

    A term is an array of the shape, or `mg.At(index, g)`: g at an index, or `mg.Product(x, g)`: x.T @ g.
    """
    raise NotImplementedError(
        "Chapter 3: write collect() in docs/exercises/collect.py. Begin with one array of zeros and add what is an "
        "array; then the parts, by np.add.at; then the products."
    )
