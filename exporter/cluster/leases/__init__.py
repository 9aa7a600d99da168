"""Which replica may poll which account, from when, and until when.  Pure: time and answers are arguments."""
