/// Instances of HTTP/2 in raw frames, which do what no server does on purpose.
extension PythonServer {
  /// `serve(peer, number)` is called for each connection, counted from 1. `frames(peer)` gives the client's frames as
  /// (type, flags, stream, payload), `send` writes one, `answer` a whole answer with status 200.
  static func frames(_ serve: String) -> String {
    """
    import socket, struct, threading
    DATA, HEADERS, RESET, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(64); print(s.getsockname()[1], flush=True)
    def send(p, kind, flags, stream, payload=b""):
        p.sendall(struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload)
    def answer(p, stream, body=b""):
        send(p, HEADERS, 4, stream, b"\\x88"); send(p, DATA, 1, stream, body)
    def frames(p):
        f = p.makefile("rb")
        assert f.read(24).startswith(b"PRI * HTTP/2.0")
        send(p, SETTINGS, 0, 0)
        while True:
            head = f.read(9)
            if len(head) < 9: return
            payload = f.read(int.from_bytes(head[:3], "big"))
            if head[3] == SETTINGS and not head[4] & 1: send(p, SETTINGS, 1, 0)
            yield head[3], head[4], int.from_bytes(head[5:], "big") & 0x7fffffff, payload
    \(serve)
    def guarded(p, number):
        try: serve(p, number)
        except OSError: pass
    number = 0
    while True:
        p, _ = s.accept(); number += 1
        threading.Thread(target=guarded, args=(p, number), daemon=True).start()
    """
  }

  /// HTTP/1.1: answers with its own port, and only once somebody has asked for `/open`.
  static let gate = """
    import socket, threading
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(256); port = s.getsockname()[1]; print(port, flush=True)
    lock = threading.Event()
    def serve(p):
        while True:
            d = p.recv(65536)
            if not d: return
            if b" /open " in d: lock.set()
            elif b" /now " not in d: lock.wait()
            body = b"%d" % port
            p.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: %d\\r\\n\\r\\n%s" % (len(body), body))
    while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
    """

  func open() {
    let direct = RawClient(port: port)
    direct.write("GET /open HTTP/1.1\r\n\r\n")
    _ = direct.read(until: "\(port)")
  }
}
