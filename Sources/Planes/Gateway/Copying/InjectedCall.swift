internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Synchronization

/// A request that the platform makes, and who waits for what comes of it.
final class InjectedCall: Sendable {
  private enum State {
    case open
    case waiting(CheckedContinuation<NodeCallResult, Never>)
    case ended(NodeCallResult)
  }

  let call: NodeCall
  private let state = Mutex(State.open)

  init(_ call: NodeCall) { self.call = call }

  /// Tells the result; the first one counts.
  func end(_ result: NodeCallResult) {
    let waiter = state.withLock { state -> CheckedContinuation<NodeCallResult, Never>? in
      switch state {
      case .open:
        state = .ended(result)
        return nil
      case .waiting(let waiter):
        state = .ended(result)
        return waiter
      case .ended: return nil
      }
    }
    waiter?.resume(returning: result)
  }

  /// Waits for the result; when the task is cancelled, no longer.
  func result() async -> NodeCallResult {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let known = state.withLock { state -> NodeCallResult? in
          if case .ended(let result) = state { return result }
          state = .waiting(continuation)
          return nil
        }
        if let known { continuation.resume(returning: known) }
      }
    } onCancel: {
      end(.failed("nobody waits for it any more"))
    }
  }
}

/// Tells the platform what a cell answered to its request.
final class InjectedWitness: AnswerWitness {
  private let injected: InjectedCall

  init(_ injected: InjectedCall) { self.injected = injected }

  deinit { injected.end(.failed("the request was given up")) }

  override func answered(
    _ request: ExecuteRequest, status: Int, _ bytes: UnsafePointer<UInt8>?, _ count: Int, byNode: Bool,
    now: Int64
  ) {
    guard count <= injected.call.mostAnswerBytes else {
      return injected.end(
        .failed("its answer has \(count) bytes, \(injected.call.mostAnswerBytes) are taken"))
    }
    let body = bytes.map { Array(UnsafeBufferPointer(start: $0, count: count)) } ?? []
    let began = request.dispatched == 0 ? now : request.dispatched
    injected.end(
      .answered(
        status: status, contentType: "application/json", body: body, microseconds: Int((now - began) / 1000),
        byNode: byNode))
  }
}

/// A request of the platform to a server, on its way. Lives on its loop.
final class InjectedExchange {
  let injected: InjectedCall
  let node: LoopNode
  let target: ProxyTarget
  let path: PathCounters?
  let began: Int64
  var upstream: UpstreamExchange?
  var timer = TimerWheel.Token.none
  var isRepeated = false
  var status = 0
  var contentType = ""
  var body: [UInt8] = []

  init(_ injected: InjectedCall, _ node: LoopNode, _ target: ProxyTarget, path: PathCounters?, began: Int64) {
    self.injected = injected
    self.node = node
    self.target = target
    self.path = path
    self.began = began
  }
}
