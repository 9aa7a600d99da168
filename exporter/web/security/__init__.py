"""TLS and passwords: the web configuration file, and what it asks for.

::

    reloader         the web configuration in force, read again when its files change
      config         the file, in the schema of Prometheus's exporter-toolkit; values: kinds of values that only it has
        tls          `tls_server_config`, made into an SSLContext; tls_names: names of versions, suites, curves
          pem        certificates and keys, inline or in files
    access_control   who may ask: rate_limit, then basic_auth; sources tells clients apart
"""
