"""TLS and passwords: the web configuration file, and what it asks for.

::

    reloader         the web configuration in force, read again when its files change
      config         the file, in the schema of Prometheus's exporter-toolkit
        tls          `tls_server_config`, made into an SSLContext; tls_names: names of versions, suites, curves
          pem        certificates and keys, inline or in files
    access_control   who may ask: the rate limit, then basic_auth
"""
