"""The pages for people: filters, lists, views."""
