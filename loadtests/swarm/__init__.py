"""The load: Locust users that drive a chat over real sockets. The only room that imports Locust and gevent."""
