import Access
import ControlAPI
import ControlPlane
import Domain
import Gateway
import Glibc
import HTTPModel
import Sandboxing
import Storage
import Synchronization
import TLS
import Telemetry

/// The one place where a running service is put together.
///
/// What lasts as long as the process - sockets, loops, keys - is made once (`LastingParts`); what owns the data folder is a
/// `ServiceTerm`, which ends when another process takes over and begins anew when that one fails to.
public enum AssembledService {
  public static let version = "0.1.0"

  /// Serves until SIGTERM or SIGINT, or until another process has taken over, then drains. Returns the exit code.
  public static func run(_ configuration: ServeConfiguration) async -> Int32 {
    let signals = TerminationSignals()
    let level = LogLevel.allCases.first { $0.name == configuration.logLevel } ?? .info
    let logger = Logger(label: "roost", level: level)
    let responder = ResponderSwitch()
    let feeds = TermFeeds()
    var predecessor: Predecessor?
    do throws(PlatformError) {
      let arrival = try Arrival.take()
      predecessor = arrival.connection.map { Predecessor($0, responder: responder, feeds: feeds) }
      let parts = try LastingParts(configuration, logger, signals, responder, feeds, arrival, predecessor)
      try await serve(parts)
      return 0
    } catch {
      predecessor?.say(.failed(message: error.message))
      logger.error(
        "roost could not start",
        ["error": .text(error.message), "cause": .text(error.cause.map { "\($0)" } ?? "")])
      return 1
    }
  }

  private static func serve(_ parts: LastingParts) async throws(PlatformError) {
    let gateway = parts.gateway
    var trusted: Set<InstanceID> = []
    if let predecessor = parts.predecessor { trusted = try await predecessor.take(version: version) }
    var term = try await ServiceTerm(parts, trusting: trusted)
    try gateway.start(listens: parts.predecessor == nil)
    if let predecessor = parts.predecessor {
      try await term.found(within: .seconds(60))
      guard await predecessor.mayListen() else {
        throw PlatformError(.failedPrecondition, "the process that serves did not let this one listen")
      }
      guard await gateway.listen(within: .seconds(10)) else {
        throw PlatformError(.internal, "a loop does not listen")
      }
      try parts.data.lock.sign()
    }
    var door = try UpgradeDoor(parts.data, of: parts.process) { parts.signals.post(.upgrade($0)) }
    try await term.begin()
    parts.predecessor?.say(.listening)
    parts.sayServing()
    while true {
      switch await term.run() {
      case .stop:
        door.close()
        parts.logger.info("roost has stopped; instances live on")
        return
      case .handOver(let successor, let call):
        let began = ContinuousClock.now
        door.close()
        do throws(PlatformError) {
          try await term.give(to: successor)
          await parts.leave(to: successor, call, heldSince: began)
          return
        } catch {
          successor.abandon()
          parts.logger.error("roost was not upgraded", ["error": .text(error.message)])
          term = try await ServiceTerm(parts, trusting: gateway.routedInstances, afterFailure: true)
          door = try UpgradeDoor(parts.data, of: parts.process) { parts.signals.post(.upgrade($0)) }
          try await term.begin()
          parts.refuse(call, error)
        }
      }
    }
  }

  /// Time since the machine was started, less that in which it slept.
  static func uptime() -> Duration {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }

  /// Wall-clock time.
  static func now() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
  }
}
