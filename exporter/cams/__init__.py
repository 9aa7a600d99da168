"""The API: everything that talks to Alibaba Cloud, and the only folder that imports `requests`.

::

    client.Client.fetch(number, gate)
      credentials   which key signs: static, from files, or through Alibaba's library, never fetched on the polling path
      adapter       a connection, kept alive and renewed; attempt bounds all of it by one deadline
        endpoint    makes one: DNS, the addresses in turn, TLS; proxies says through which proxy, if any
        response    the final answer, whatever interim ones come before it
      with gate()   the account's budget: the caller waits here, connected and ready, and sends inside
      signing       ACS3-HMAC-SHA256 over the request, at the moment of sending
      answers       bytes -> Answer or ApiError
        error_codes what kind of trouble a code is; retry_after how long to wait; failures what an exception means
"""
