"""Which credential signs an account's requests.  A look-up never waits: slow work runs on another thread.

`source` gives the credential.  It comes from the configuration or from files, which `key_files` reads again when they
change, or from Alibaba Cloud's own credentials library, which only `sdk` imports.
"""
