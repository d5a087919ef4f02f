internal import Domain
internal import HTTPTransport

extension GatewayLoop {
  /// Answers all requests that are under way: nothing is waited for any more.
  func cancelAll() {
    for (key, entry) in collected {
      entry.task.cancel()
      if let connection = server.exchange(key) {
        answer(connection, Refusal(.unavailable, "the server is shutting down", origin: .platform))
      }
    }
    collected.removeAll()
    endAllInjected()
    for request in heldRequests where request.hold != nil {
      refuse(
        request,
        Refusal(.unavailable, "the server is shutting down; send the request again", origin: .platform))
    }
    for request in proxies where request.state != .free {
      dropUpstream(request)
      refuse(
        request,
        Refusal(.unavailable, "the server is shutting down; send the request again", origin: .platform))
    }
    for request in requests where request.state == .queued || request.state == .sent {
      fail(
        request,
        Refusal(.unavailable, "the server is shutting down; send the request again", origin: .platform))
    }
  }
}
