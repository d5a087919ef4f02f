internal import Synchronization

/// A value that comes from another thread, once: what comes later is dropped. One task waits for it, for so long and no longer,
/// whether or not it ever comes.
final class FirstReply<Value: Sendable>: Sendable {
  private enum State {
    case open
    case waiting(CheckedContinuation<Value?, Never>)
    case ended(Value?)
  }

  private let state = Mutex(State.open)

  /// Gives the value to who waits or will wait.
  func give(_ value: Value) { end(with: value) }

  /// The value; nil after `limit` or when the task is cancelled.
  func value(within limit: Duration) async -> Value? {
    await withTaskGroup(of: Value?.self) { group in
      group.addTask { await self.value() }
      group.addTask {
        try? await Task.sleep(for: limit)
        self.end(with: nil)
        return nil
      }
      // Whichever ends first ends the other: the sleep gives nil to who waits, the value makes the sleep needless.
      var found: Value?
      for await part in group {
        found = found ?? part
        group.cancelAll()
      }
      return found
    }
  }

  private func value() async -> Value? {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let ended: Value?? = state.withLock { state in
          guard case .ended(let value) = state else {
            state = .waiting(continuation)
            return .none
          }
          return .some(value)
        }
        if let ended { continuation.resume(returning: ended) }
      }
    } onCancel: {
      end(with: nil)
    }
  }

  private func end(with value: Value?) {
    let waiting: CheckedContinuation<Value?, Never>? = state.withLock { state in
      switch state {
      case .ended: return nil
      case .open:
        state = .ended(value)
        return nil
      case .waiting(let continuation):
        state = .ended(value)
        return continuation
      }
    }
    waiting?.resume(returning: value)
  }
}
