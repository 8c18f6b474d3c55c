"""Chapter 1: one walk counts all ways, even where nobody could follow each."""

import minigrad as mg


def doubled(x, times):
    for _ in range(times):
        x = x + x
    return x


def test_two_ways_lead_to_the_x_of_x_tanh_x(answer):
    assert answer.paths(mg.tape(lambda x: x * mg.tanh(x), 0.5)) == [2, 1, 1]


def test_an_input_that_is_used_twice_counts_twice(answer):
    assert answer.paths(mg.tape(lambda x: x * x, 0.5)) == [2, 1]


def test_sixty_doublings_have_two_to_the_sixty_ways(answer):
    ways = answer.paths(mg.tape(lambda x: doubled(x, 60), 1.0))
    assert ways[0] == 2**60
