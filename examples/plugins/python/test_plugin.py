import unittest

import alft
from plugin import Dates


class Tests(unittest.TestCase):
    def test_the_same_day_is_the_same_answer(self):
        for text in ("1776-07-04", "on July 4th, 1776.", "4 July 1776", "the 4th of Jul. 1776", "1 May 1776, no: Jul 4 1776"):
            self.assertEqual(Dates().read(alft.Prompt(), text), "1776-07-04", text)
        for text in ("", "1776", "31 February 1776", "July 1776"):
            self.assertIsNone(Dates().read(alft.Prompt(), text), text)

    def test_near_days_score_within_the_tolerance(self):
        prompt = alft.Prompt(gold="1776-07-04")
        self.assertEqual(Dates().score(prompt, "1776-07-04"), 1)
        self.assertEqual(Dates().score(prompt, "1776-07-05"), 0)
        self.assertEqual(Dates().score(prompt, "soon"), 0)
        self.assertEqual(Dates(tolerance_days=3).score(prompt, "1776-07-05"), 0.75)


if __name__ == "__main__":
    unittest.main()
