"""Credentials of an account: from the configuration, from files, or from Alibaba Cloud's own library."""
