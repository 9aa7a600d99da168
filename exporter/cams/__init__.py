"""The API: everything that talks to Alibaba Cloud, and the only folder that imports `requests`.

::

    client.Client.call(operation, gate)      fetch(number, gate) asks for a status
      credentials     which key signs: static, from files, or through Alibaba's library; a poll never fetches it
      adapter         the transport adapter of a requests.Session, in four steps:
        connection    http.client's, kept alive and renewed: addresses in turn, through the proxy if any, with TLS
        with gate()   the account's budget: the request waits here, connected and ready, and leaves inside
        signing       ACS3-HMAC-SHA256 over the request, at the moment of sending
        response      the final answer, whatever interim ones come before it
      answers         requests.Response -> Payload, or ApiError
        error_codes   what kind of trouble a code is; retry_after how long to wait; failures what an exception means
      operations      what is asked, and Payload -> Answer, InstancePage, NumberListing or Health, or ApiError

`attempt` bounds all of that by one deadline; `endpoint` and `proxies` say where it goes.
"""
