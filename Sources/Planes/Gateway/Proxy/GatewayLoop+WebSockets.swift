internal import HTTPTransport
internal import Reactor

/// How WebSockets are asked to go.
extension GatewayLoop {
  /// Asks both ends of all WebSockets to go.
  func closeWebSockets() {
    for request in proxies where request.state == .upgraded && request.isWebSocket && !request.isLeaving {
      closeWebSocket(request)
    }
  }

  /// Asks both ends of a WebSocket to go, with close frames of status 1001.
  func closeWebSocket(_ request: ProxyRequest) {
    request.isLeaving = true
    request.totalDeadline = loop.now + 10_000_000_000
    arm(request)
    sayGoingAway(request)
  }

  /// How long one side of a WebSocket may be silent after the other has closed.
  static let closingTime: Int64 = 5_000_000_000

  /// When both ends of a WebSocket have said goodbye, a stream of HTTP/2 to the instance has nothing more to bring: not every
  /// instance ends it by itself.
  func partIfClosed(_ request: ProxyRequest) {
    guard request.isTunnel, request.toCaller.isClosed,
      request.toInstance.isClosed || request.saidToInstance, let upstream = request.upstream
    else { return }
    request.upstream = nil
    self.upstream.part(upstream)
    request.responseEnded = true
    if let exchange = exchange(of: request) { server.end(exchange) }
    request.requestEnded ? finished(request) : arm(request)
  }

  /// A close frame may stand only between two frames: in each direction it waits for the end of the one on its way.
  func sayGoingAway(_ request: ProxyRequest) {
    guard let exchange = exchange(of: request), let upstream = request.upstream else { return }
    if !request.saidToCaller, request.toCaller.isBetween {
      request.saidToCaller = true
      var frame: InlineArray<4, UInt8> = [0x88, 0x02, 0x03, 0xe9]
      withUnsafeBytes(of: &frame) { raw in
        raw.withMemoryRebound(to: UInt8.self) { bytes in
          if let base = bytes.baseAddress { server.send(exchange, base, 4) }
        }
      }
      server.end(exchange)
    }
    if !request.saidToInstance, request.toInstance.isBetween {
      request.saidToInstance = true
      // What goes to a server must be masked; a key of zeros does.
      var frame: InlineArray<8, UInt8> = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]
      withUnsafeBytes(of: &frame) { raw in
        raw.withMemoryRebound(to: UInt8.self) { bytes in
          if let base = bytes.baseAddress { self.upstream.send(upstream, base, 8) }
        }
      }
      self.upstream.end(upstream)
      // The instance had closed its side: with both closed it is not ours any more.
      if request.responseEnded { request.upstream = nil }
    }
  }
}
