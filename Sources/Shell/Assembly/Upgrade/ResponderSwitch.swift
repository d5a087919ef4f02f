import HTTPModel
import Synchronization

/// Who answers requests of the API: nobody yet, this process, or the one that took over. Meanwhile requests wait.
final class ResponderSwitch: HTTPResponder {
  private struct State {
    var responder: (any HTTPResponder)?
    var isHolding = false
    /// Requests under way that may change something.
    var writes = 0
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  /// From now on requests go there, also those that wait.
  func set(_ responder: any HTTPResponder) {
    let waiting = state.withLock { state in
      state.responder = responder
      state.isHolding = false
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Lets new requests wait until `set`, and those that may change something end. False, and nothing waits, when they don't
  /// within the time.
  func hold(within limit: Duration) async -> Bool {
    state.withLock { $0.isHolding = true }
    let end = ContinuousClock.now + limit
    while state.withLock({ $0.writes }) > 0 {
      guard ContinuousClock.now < end else {
        if let responder = state.withLock({ $0.responder }) { set(responder) }
        return false
      }
      try? await Task.sleep(for: .milliseconds(2))
    }
    return true
  }

  func respond(to request: HTTPRequest) async -> HTTPResponse {
    let isWrite = request.isGRPC || !["GET", "HEAD"].contains(request.method)
    while true {
      let (responder, waits) = state.withLock { state in
        if !state.isHolding, isWrite { state.writes += 1 }
        return (state.responder, state.isHolding)
      }
      guard waits else {
        defer { if isWrite { state.withLock { $0.writes -= 1 } } }
        return await responder?.respond(to: request) ?? HTTPResponse(status: 503)
      }
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if state.isHolding { state.waiting.append(continuation) }
          return !state.isHolding
        }
        if isOver { continuation.resume() }
      }
    }
  }
}
