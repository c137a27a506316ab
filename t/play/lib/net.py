"""Sockets that send what they are given at once.

A small piece behind another would else wait until the peer acknowledges the
first (RFC 896), which it may put off for 40 ms.
"""
import socket


def at_once(sock):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def connect(address, seconds=None):
    return at_once(socket.create_connection(address, seconds))
