"""Authentication: cephx and none, both sides; key types, keyrings, and the capability language.

`client.AuthClient` is what a client or daemon holds, `server` what monitors and services hold; both
hand the messenger one `handshake` object per connection. Pure: time and randomness are arguments.
Only msgr2 is served: of msgr1 there is neither the handshake nor the message signature, and the
authorizer without a challenge, which only msgr1 peers send (CVE-2018-1128), is refused.
"""
