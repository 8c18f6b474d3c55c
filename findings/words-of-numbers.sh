#!/usr/bin/env bash
# word2number reads nine of ten numbers from 1000 to a million wrongly in the words that num2words and inflect write.
#
# Versions: num2words 0.5.14, inflect 7.6.0, word2number 1.1; Python 3.11. Date: 2026-11-29.
# Behaviour: both writers set a comma, "one thousand, one hundred". The reader drops words that it does not know, so
#   "thousand," with the comma is gone, and the numbers beside it are added up; a word "minus" is dropped as well, and
#   of a year the two halves. It raises only if no word is left. Without commas hundreds of thousands are right, but
#   "one million seventeen thousand" counts a part twice. text2num 3.1.0, another reader, raises at the comma.
# A good guess: a reader of numbers in words reads what the usual writers write, or refuses a word that it does not know.
# Seen:
#   one thousand, one hundred: 101
#   one million, two hundred and thirty-four thousand, five hundred and sixty-seven: 1
#   minus five: 5
#   nineteen ninety-nine: 1719
#   one million seventeen thousand: 1018017
#   of 1003 numbers from 1000 to 999994 wrong: num2words 902, inflect 902, without commas 0 and 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet num2words==0.5.14 inflect==7.6.0 word2number==1.1
"$work/venv/bin/python" - <<'PYTHON'
import sys

import inflect
from num2words import num2words
from word2number.w2n import word_to_num

number_to_words = inflect.engine().number_to_words
cases = [
    (num2words(1100), 101),
    (num2words(1234567), 1),
    (num2words(-5), 5),
    (num2words(1999, to="year"), 1719),
    (num2words(1017000).replace(",", ""), 1018017),
]
for words, seen in cases:
    found = word_to_num(words)
    print(f"{words}: {found}")
    if found != seen:
        sys.exit(f"CHANGED: word2number reads {words} as {found}")
numbers = range(1000, 1000000, 997)
writers = [num2words, number_to_words, lambda n: num2words(n).replace(",", ""), lambda n: number_to_words(n, comma="")]
wrong = [sum(word_to_num(write(n)) != n for n in numbers) for write in writers]
print(f"of {len(numbers)} numbers from 1000 to {numbers[-1]} wrong: num2words {wrong[0]}, inflect {wrong[1]}, "
      f"without commas {wrong[2]} and {wrong[3]}")
if wrong != [902, 902, 0, 0]:
    sys.exit(f"CHANGED: word2number is wrong of {wrong}")
PYTHON
