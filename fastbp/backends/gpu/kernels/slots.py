"""Sums over many tiles: the tiles are dealt to slots, whose sums are added in their order.

Which tile is in which slot follows from the number of rows alone, so the bits do not depend on how
many blocks the device holds at a time. There is no race and no atomic addition.
"""

from fastbp.machine.gpu_kernels import load1, part

__all__ = ["MAX_SLOTS", "add_slots"]

#: Slots of a batch at most. The H100 has 132 multiprocessors, and more slots take longer to add up.
MAX_SLOTS = 264


@part
def add_slots(gradients, slot_length, place, n_slots):
    """Add up a place of all slots in their order: eight are fetched at a time, then added."""
    total, left, two = load1(gradients, place), n_slots - 1, 2 * slot_length
    place += slot_length
    while left >= 8:
        third = place + two
        fifth = third + two
        seventh = fifth + two
        a, b = load1(gradients, place), load1(gradients, place + slot_length)
        c, d = load1(gradients, third), load1(gradients, third + slot_length)
        e, f = load1(gradients, fifth), load1(gradients, fifth + slot_length)
        g, h = load1(gradients, seventh), load1(gradients, seventh + slot_length)
        total += ((a + b) + (c + d)) + ((e + f) + (g + h))
        place, left = seventh + two, left - 8
    while left > 0:
        total += load1(gradients, place)
        place, left = place + slot_length, left - 1
    return total
