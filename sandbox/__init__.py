"""The other side of the wire: a WeChat that runs on this machine, and a phone to try it with.

Nothing here is imported by the service. `fake_wechat` stands in for WeChat's servers in
the demo and in every test; `phone` shows it to a person. Neither ever talks to Tencent.
"""
