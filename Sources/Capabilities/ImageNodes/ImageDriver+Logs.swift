import Domain
import DriverAPI
import Synchronization

/// Lines as they come, from another thread.
final class LineCollector: Sendable {
  private let collected = Mutex<[String]>([])

  func add(_ line: String) { collected.withLock { $0.append(line) } }
  var lines: [String] { collected.withLock { $0 } }
}

extension ImageDriver {
  /// Longest wait for the end of a log before its container is removed.
  private static let drainLimit = Duration.seconds(3)

  func follow(_ id: InstanceID) {
    let isNew = state.withLock { state in
      defer { state.containers[id]?.isFollowed = true }
      return state.containers[id]?.isFollowed == false
    }
    if isNew { followings.yield(id) }
  }

  /// Copies a container's log into its node's until it has ended. Goes on where the node's log ends, so that a restart of
  /// this service or of the engine loses no line and gives none twice.
  func keepLog(of id: InstanceID) async {
    guard let known = state.withLock({ $0.containers[id] }) else { return }
    let last = Mutex(configuration.newestLine(known.node, id))
    var pause = Duration.milliseconds(100)
    while !Task.isCancelled, state.withLock({ $0.containers[id] != nil }) {
      do throws(EngineError) {
        try await engine.logs(of: ContainerPlan.container(id), since: last.withLock { $0 }, follow: true) {
          line in
          last.withLock { $0 = line.time }
          self.configuration.record(
            known.node,
            LogLine(
              time: line.time, instance: id.text, release: known.release,
              requestId: RequestMention.first(in: line.text), stream: line.stream, message: line.text))
        }
        // It ends with the container.
        break
      } catch {
        guard error.isOfEngine else { break }
        try? await Task.sleep(for: pause)
        pause = min(pause * 2, .seconds(2))
      }
    }
    state.withLock { $0.containers[id]?.isFollowed = false }
  }

  /// Waits until the log of a container that has ended is copied.
  func drainLog(_ id: InstanceID) async {
    let deadline = ContinuousClock.now + Self.drainLimit
    while !Task.isCancelled, ContinuousClock.now < deadline,
      state.withLock({ $0.containers[id]?.isFollowed ?? false })
    {
      try? await Task.sleep(for: .milliseconds(5))
    }
  }
}
