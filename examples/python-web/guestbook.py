"""The entries, and the page that shows them."""

import html

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<h1>{title}</h1>
<p>Hello from Python. {count} so far.</p>
<ul>{entries}</ul>
<form method="post"><input name="entry" required maxlength="200" aria-label="Your entry"><button>Sign</button></form>
</html>
"""


class Guestbook:
    def __init__(self, title, limit=100):
        self.title, self.limit, self.entries = title, limit, []

    def sign(self, entry):
        """Keeps the entry; False when it is empty or too long."""
        entry = entry.strip()
        if not 0 < len(entry) <= 200:
            return False
        self.entries = [entry, *self.entries][: self.limit]
        return True

    def page(self):
        count = f"{len(self.entries)} guest{'' if len(self.entries) == 1 else 's'}"
        entries = "".join(f"<li>{html.escape(entry)}</li>" for entry in self.entries)
        return PAGE.format(title=html.escape(self.title), count=count, entries=entries)
