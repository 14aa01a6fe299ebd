import unittest

from guestbook import Guestbook


class GuestbookTest(unittest.TestCase):
    def setUp(self):
        self.book = Guestbook("Guests")

    def test_the_newest_entry_comes_first(self):
        self.book.sign("Ada")
        self.book.sign("Lester")
        self.assertLess(self.book.page().index("Lester"), self.book.page().index("Ada"))

    def test_markup_is_shown_as_text(self):
        self.book.sign("<b>Ada</b>")
        self.assertIn("&lt;b&gt;Ada&lt;/b&gt;", self.book.page())

    def test_empty_and_endless_entries_are_refused(self):
        self.assertFalse(self.book.sign("  "))
        self.assertFalse(self.book.sign("x" * 201))
        self.assertEqual(self.book.entries, [])

    def test_old_entries_make_room(self):
        book = Guestbook("Guests", limit=2)
        for name in ("Ada", "Lester", "Grace"):
            book.sign(name)
        self.assertEqual(book.entries, ["Grace", "Lester"])


if __name__ == "__main__":
    unittest.main()
