"""What is known of each number: the last answers, their history, their storage."""
