"""TLS, passwords, and the web configuration file that asks for them."""
