"""The load: Locust users that drive a chat over real sockets. The only component that imports Locust and gevent."""
