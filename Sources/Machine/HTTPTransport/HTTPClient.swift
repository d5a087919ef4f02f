internal import CLinux
internal import Glibc
public import HTTPModel
internal import Synchronization
internal import Wire

/// Why a call of `HTTPClient` has no answer.
public struct HTTPClientError: Error, Sendable, CustomStringConvertible {
  public enum Kind: Sendable, Equatable {
    /// Nothing was sent: the name is unknown, the port closed, the connection timed out.
    case unreachable
    /// The server did not answer within the timeout.
    case timeout
    /// The connection broke in the middle.
    case broken
    /// The answer is not HTTP/1.1.
    case malformed
    /// The caller's closure said to stop.
    case stopped
  }

  public var kind: Kind
  public var message: String
  public var description: String { message }

  init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }
}

/// Ends a request of `HTTPClient` from another thread: it then throws `broken`, or `stopped` before it was sent.
public final class HTTPCancellation: Sendable {
  private struct State {
    var descriptor: Int32?
    var isCancelled = false
  }

  private let state = Mutex(State())

  public init() {}

  public var isCancelled: Bool { state.withLock { $0.isCancelled } }

  /// For good: a later request with this value is not sent.
  public func cancel() {
    state.withLock { state in
      state.isCancelled = true
      if let descriptor = state.descriptor { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }
  }

  /// False when it was cancelled before.
  fileprivate func watch(_ descriptor: Int32) -> Bool {
    state.withLock { state in
      state.descriptor = descriptor
      return !state.isCancelled
    }
  }

  fileprivate func letGo() { state.withLock { $0.descriptor = nil } }
}

/// A blocking HTTP/1.1 client for tools and engines: one connection per request, no TLS.
///
/// Never call it from a loop or an actor of the service.
public struct HTTPClient: Sendable {
  public var host: String
  public var port: UInt16
  /// Path of a unix socket to ask instead of host and port.
  public private(set) var socket: String?
  /// For one attempt to connect.
  public var connectTimeout: Duration
  /// Longest silence of the server, whole answers and streams alike.
  public var timeout: Duration

  public init(
    host: String, port: UInt16, connectTimeout: Duration = .seconds(5), timeout: Duration = .seconds(60)
  ) {
    self.host = host
    self.port = port
    self.connectTimeout = connectTimeout
    self.timeout = timeout
  }

  /// A server at `host:port`, `[address]:port` or `unix:/path`; nil for anything else.
  public init?(address: String, connectTimeout: Duration = .seconds(5), timeout: Duration = .seconds(60)) {
    if address.hasPrefix("unix:/") {
      self.init(socket: String(address.dropFirst(5)), timeout: timeout)
      return
    }
    guard let colon = address.lastIndex(of: ":"), let port = UInt16(address[address.index(after: colon)...])
    else { return nil }
    let host = address[..<colon]
    self.init(
      host: String(host.hasPrefix("[") && host.hasSuffix("]") ? host.dropFirst().dropLast() : host),
      port: port, connectTimeout: connectTimeout, timeout: timeout)
  }

  /// A server behind a unix socket.
  public init(socket: String, timeout: Duration = .seconds(60)) {
    self.init(host: "localhost", port: 80, timeout: timeout)
    self.socket = socket
  }

  /// Sends a request and collects the answer.
  public func send(_ request: HTTPRequest, cancellation: HTTPCancellation? = nil)
    throws(HTTPClientError) -> HTTPResponse
  {
    var body: [UInt8] = []
    var response = try stream(request, cancellation: cancellation) { part in
      body.append(contentsOf: part)
      return true
    }
    response.body = body
    return response
  }

  /// Sends a request and gives the answer's body in parts as they come; the closure returns false to stop early.
  ///
  /// The response that is returned has no body. The head is not available before the first part: a caller that must tell
  /// errors from streams gives `head`.
  public func stream(
    _ request: HTTPRequest, cancellation: HTTPCancellation? = nil,
    head onHead: (HTTPResponse) -> Void = { _ in }, onBody: (ArraySlice<UInt8>) -> Bool
  ) throws(HTTPClientError) -> HTTPResponse {
    let connection = try Connection(self)
    defer {
      cancellation?.letGo()
      connection.close()
    }
    if let cancellation, !cancellation.watch(connection.descriptor) {
      throw HTTPClientError(.stopped, "stopped")
    }
    do throws(HTTPClientError) {
      try connection.write(Self.encoded(request, authority: authority))
      try connection.write(request.body)
    } catch {
      // A server may refuse a large body and close: its answer says why, the broken pipe does not.
      guard error.kind == .broken else { throw error }
    }
    let head = try connection.readHead()
    let response = HTTPResponse(status: head.status, headers: head.headers)
    onHead(response)
    if request.method != "HEAD", head.status != 204, head.status != 304 {
      try connection.readBody(head, onBody)
    }
    return response
  }

  private var authority: String {
    socket != nil ? host : host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
  }

  private static func encoded(_ request: HTTPRequest, authority: String) -> [UInt8] {
    var head = "\(request.method) \(request.target) HTTP/1.1\r\nhost: \(authority)\r\nconnection: close\r\n"
    for header in request.headers where header.name != "host" && header.name != "content-length" {
      head += "\(header.name): \(header.value)\r\n"
    }
    if !request.requestID.isEmpty, request.header("x-request-id") == nil {
      head += "x-request-id: \(request.requestID)\r\n"
    }
    if !request.body.isEmpty || !["GET", "HEAD", "DELETE"].contains(request.method) {
      head += "content-length: \(request.body.count)\r\n"
    }
    return Array((head + "\r\n").utf8)
  }
}

extension Duration {
  /// Whole milliseconds, at least one for anything above zero.
  var wholeMilliseconds: Int64 {
    let parts = components
    return max(parts.seconds * 1000 + parts.attoseconds / 1_000_000_000_000_000, self > .zero ? 1 : 0)
  }
}

/// One blocking socket with what was read ahead.
private final class Connection {
  let descriptor: Int32
  private let name: String
  private var buffer: [UInt8] = []
  private var scratch = [UInt8](repeating: 0, count: 65536)

  init(_ client: HTTPClient) throws(HTTPClientError) {
    if let socket = client.socket {
      name = socket
      let slash = socket.lastIndex(of: "/") ?? socket.startIndex
      let result = roost_unix_connect(
        String(socket[..<slash]) + "/", String(socket[socket.index(after: slash)...]))
      guard result >= 0 else {
        throw HTTPClientError(.unreachable, "can't connect to \(name): \(String(cString: strerror(errno)))")
      }
      descriptor = result
      _ = roost_set_timeout(descriptor, client.timeout.wholeMilliseconds)
      return
    }
    name = "\(client.host):\(client.port)"
    let timeout = Int32(clamping: client.connectTimeout.wholeMilliseconds)
    let result = roost_dial(client.host, client.port, timeout)
    guard result >= 0 else {
      let reason = result <= -10000 ? "the name can't be resolved" : String(cString: strerror(-result))
      throw HTTPClientError(.unreachable, "can't connect to \(name): \(reason)")
    }
    descriptor = result
    _ = roost_set_timeout(descriptor, client.timeout.wholeMilliseconds)
  }

  func close() { _ = Glibc.close(descriptor) }

  func write(_ bytes: [UInt8]) throws(HTTPClientError) {
    var at = 0
    while at < bytes.count {
      let sent = bytes.withUnsafeBytes { raw in
        raw.baseAddress.map { roost_send(descriptor, $0 + at, raw.count - at) } ?? 0
      }
      if sent < 0 {
        let code = errno
        if code == EINTR { continue }
        throw failure(code, "sending to")
      }
      at += sent
    }
  }

  /// Reads once; false at the end of the stream.
  private func fill() throws(HTTPClientError) -> Bool {
    while true {
      let received = scratch.withUnsafeMutableBytes { roost_recv(descriptor, $0.baseAddress, $0.count) }
      if received < 0 {
        let code = errno
        if code == EINTR { continue }
        throw failure(code, "reading from")
      }
      buffer.append(contentsOf: scratch[0..<received])
      return received > 0
    }
  }

  private func failure(_ code: Int32, _ doing: String) -> HTTPClientError {
    if roost_would_block(code) != 0 {
      return HTTPClientError(.timeout, "\(name) did not answer in time")
    }
    return HTTPClientError(.broken, "\(doing) \(name): \(String(cString: strerror(code)))")
  }

  func readHead() throws(HTTPClientError) -> HTTP1ResponseHead {
    while true {
      let end = buffer.withUnsafeBufferPointer { bytes in
        bytes.baseAddress.flatMap { HTTP1Head.end($0, bytes.count, from: 0) }
      }
      guard let end else {
        guard buffer.count <= HTTP1Head.maximumBytes else {
          throw HTTPClientError(.malformed, "\(name) answered with a head that is too large")
        }
        guard try fill() else {
          throw HTTPClientError(.broken, "\(name) closed the connection without an answer")
        }
        continue
      }
      do throws(HTTP1Fault) {
        let head = try HTTP1ResponseHead.parse(buffer[0..<end])
        buffer.removeFirst(end)
        if head.status >= 200 || head.status == 101 { return head }
      } catch {
        throw HTTPClientError(.malformed, "\(name) does not speak HTTP/1.1: \(error.message)")
      }
    }
  }

  func readBody(
    _ head: HTTP1ResponseHead, _ onBody: (ArraySlice<UInt8>) -> Bool
  ) throws(HTTPClientError) {
    var decoder = head.isChunked ? ChunkedDecoder() : nil
    var remaining = head.isChunked ? nil : head.contentLength
    while remaining != 0 {
      if buffer.isEmpty, try !fill() {
        if decoder == nil, remaining == nil { return }
        throw HTTPClientError(.broken, "\(name) closed the connection in the middle of the answer")
      }
      if decoder != nil {
        if try takeChunks(&decoder, onBody) { return }
      } else {
        let count = min(buffer.count, remaining ?? buffer.count)
        guard onBody(buffer[0..<count]) else { throw HTTPClientError(.stopped, "stopped") }
        buffer.removeFirst(count)
        remaining = remaining.map { $0 - count }
      }
    }
  }

  /// Passes on what is in the buffer; true at the end of the body.
  private func takeChunks(
    _ decoder: inout ChunkedDecoder?, _ onBody: (ArraySlice<UInt8>) -> Bool
  ) throws(HTTPClientError) -> Bool {
    var at = 0
    var ended = false
    scan: while true {
      var event = ChunkedDecoder.Event.needMore
      var fault: HTTP1Fault?
      buffer.withUnsafeBufferPointer { bytes in
        guard let base = bytes.baseAddress else { return }
        do throws(HTTP1Fault) {
          event = try decoder?.next(base, bytes.count, at: &at) ?? .needMore
        } catch { fault = error }
      }
      if let fault { throw HTTPClientError(.malformed, "\(name) does not speak HTTP/1.1: \(fault.message)") }
      switch event {
      case .data(let range):
        guard onBody(buffer[range]) else { throw HTTPClientError(.stopped, "stopped") }
      case .end:
        ended = true
        break scan
      case .needMore: break scan
      }
    }
    buffer.removeFirst(at)
    return ended
  }
}
