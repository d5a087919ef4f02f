// Fields are called what the engine calls them.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import FoundationEssentials
import Synchronization

/// A container as a listing shows it.
public struct ContainerSummary: Sendable, Decodable {
  public var Id: String
  public var Names: [String]?
  public var Labels: [String: String]?
  /// `created`, `running`, `paused`, `restarting`, `exited`, `dead`, `removing`.
  public var State: String

  /// Without the slash that engines put before it.
  public var name: String { Names?.first.map { String($0.hasPrefix("/") ? $0.dropFirst() : $0[...]) } ?? Id }
}

/// A container as it is.
public struct ContainerDetails: Sendable, Decodable {
  public struct State: Sendable, Decodable {
    public var Status: String
    public var Running: Bool
    public var OOMKilled: Bool?
    public var Pid: Int32?
    public var ExitCode: Int32?
    public var Error: String?
    public var StartedAt: String?
    public var FinishedAt: String?
  }

  public struct Networking: Sendable, Decodable {
    public struct Attachment: Sendable, Decodable { public var IPAddress: String? }
    public var Networks: [String: Attachment]?
  }

  public struct Settings: Sendable, Decodable {
    public var Labels: [String: String]?
    public var Image: String?
  }

  public struct Host: Sendable, Decodable { public var Memory: Int64? }

  public var Id: String
  public var Name: String
  public var State: State
  public var Config: Settings?
  public var HostConfig: Host?
  public var NetworkSettings: Networking?

  /// Its address in a network; nil while it has none.
  public func address(in network: String) -> String? {
    let address = NetworkSettings?.Networks?[network]?.IPAddress ?? ""
    return address.isEmpty ? nil : address
  }
}

extension EngineClient {
  struct Created: Decodable {
    var Id: String
    var Warnings: [String]?
  }

  /// Makes a container; the id. A name that is taken is refused with 409.
  func create(_ name: String, _ body: ContainerBody) async throws(EngineError) -> (
    id: String, warnings: [String]
  ) {
    let made = try await call(
      "POST", "/containers/create", [("name", name)], body: body, doing: "create", waiting: .seconds(60)
    ).decoded(Created.self, socket: socket)
    return (made.Id, made.Warnings ?? [])
  }

  /// Does nothing when it runs already.
  public func start(_ container: String) async throws(EngineError) {
    try await call(
      "POST", "/containers/\(container)/start", accepting: [304], doing: "start", waiting: .seconds(60))
  }

  /// SIGTERM, and SIGKILL after `grace`; returns when it has ended, also when there is none.
  public func stop(_ container: String, grace: Duration) async throws(EngineError) {
    let seconds = max(0, grace.components.seconds + (grace.components.attoseconds > 0 ? 1 : 0))
    try await call(
      "POST", "/containers/\(container)/stop", [("t", String(seconds))], accepting: [304, 404], doing: "stop",
      waiting: .seconds(seconds + 10))
  }

  /// Sends a signal; one that does not run is left alone.
  public func kill(_ container: String, signal: String = "KILL") async throws(EngineError) {
    try await call(
      "POST", "/containers/\(container)/kill", [("signal", signal)], accepting: [404, 409], doing: "kill")
  }

  /// Removes a container with its anonymous volumes, running or not; also when there is none.
  public func remove(_ container: String) async throws(EngineError) {
    try await call(
      "DELETE", "/containers/\(container)", [("force", "1"), ("v", "1")], accepting: [404, 409],
      doing: "remove",
      waiting: .seconds(30))
  }

  /// A file or folder of a container as a tar archive; nil when there is none. Links are not followed.
  func archive(of path: String, in container: String) async throws(EngineError) -> [UInt8]? {
    let answer = try await call(
      "GET", "/containers/\(container)/archive", [("path", path)], accepting: [404], doing: "archive")
    return answer.status == 404 ? nil : answer.body
  }

  /// nil when there is none.
  public func container(_ container: String) async throws(EngineError) -> ContainerDetails? {
    let answer = try await call("GET", "/containers/\(container)/json", accepting: [404], doing: "inspect")
    return answer.status == 404 ? nil : try answer.decoded(ContainerDetails.self, socket: socket)
  }

  /// All with these labels (`name=value`), running or not.
  public func containers(labelled labels: [String]) async throws(EngineError) -> [ContainerSummary] {
    try await get(
      "/containers/json", [("all", "1"), ("filters", EngineFilters(["label": labels]).text)],
      as: [ContainerSummary].self, doing: "list")
  }

  /// Lines of a container's log, oldest first, each once: those after `since` (a time as a line has it, that line left out).
  ///
  /// With `follow` it ends when the container does, or when the task is cancelled.
  public func logs(
    of container: String, since: String? = nil, tail: Int? = nil, follow: Bool = false,
    onLine: @escaping @Sendable (ContainerLine) -> Void
  ) async throws(EngineError) {
    var query = [("stdout", "1"), ("stderr", "1"), ("timestamps", "1"), ("follow", follow ? "1" : "0")]
    if let since, let moment = EngineTime.moment(since) { query.append(("since", moment)) }
    if let tail { query.append(("tail", String(tail))) }
    let reader = Mutex(LogReader())
    let deliver: @Sendable (ContainerLine) -> Void = { line in
      if let since, !EngineTime.isLater(line.time, than: since) { return }
      onLine(line)
    }
    let wellFormed = Mutex(true)
    // A container may be silent for as long as it likes: a dead engine ends the connection.
    let silence = follow ? Duration.seconds(7 * 86400) : timeout
    try await stream("GET", "/containers/\(container)/logs", query, doing: "logs", silence: silence) { part in
      let isGood = reader.withLock { $0.read(part, deliver) }
      wellFormed.withLock { $0 = isGood }
      return isGood
    }
    guard wellFormed.withLock({ $0 }) else {
      throw EngineError(
        .malformed, "the log of container \(container) is not in frames: was it made with a terminal?")
    }
    reader.withLock { $0.finish(deliver) }
  }

  /// What a container uses now; nil when it does not run.
  public func stats(of container: String) async throws(EngineError) -> ContainerStats? {
    let answer = try await call(
      "GET", "/containers/\(container)/stats", [("stream", "0"), ("one-shot", "1")], accepting: [404, 409],
      doing: "stats")
    guard answer.status == 200 else { return nil }
    let stats = try answer.decoded(ContainerStats.self, socket: socket)
    return stats.memory_stats?.usage == nil ? nil : stats
  }
}

/// Counters of a running container.
public struct ContainerStats: Sendable, Decodable {
  public struct CPU: Sendable, Decodable {
    public struct Usage: Sendable, Decodable { public var total_usage: UInt64? }
    public struct Throttling: Sendable, Decodable {
      public var periods: Int?
      public var throttled_periods: Int?
      /// Nanoseconds.
      public var throttled_time: UInt64?
    }
    public var cpu_usage: Usage?
    public var throttling_data: Throttling?
  }

  public struct Memory: Sendable, Decodable {
    public var usage: Int64?
    public var limit: UInt64?
    public var stats: [String: Int64]?
  }

  public struct Network: Sendable, Decodable {
    public var rx_bytes: Int64?
    public var tx_bytes: Int64?
  }

  public struct Processes: Sendable, Decodable { public var current: Int? }

  public var cpu_stats: CPU?
  /// By interface.
  public var networks: [String: Network]?
  public var pids_stats: Processes?
  public var memory_stats: Memory?

  /// Memory that can't be given back at once: without the page cache that nobody looks at.
  public var workingSet: Int64 {
    let used = memory_stats?.usage ?? 0
    let cached = memory_stats?.stats?["total_inactive_file"] ?? memory_stats?.stats?["inactive_file"] ?? 0
    return max(0, used - cached)
  }

  /// Since its start.
  public var cpuSeconds: Double { Double(cpu_stats?.cpu_usage?.total_usage ?? 0) / 1e9 }
}

/// `filters` of listings and events.
struct EngineFilters {
  let text: String

  init(_ filters: [String: [String]]) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    text = (try? encoder.encode(filters)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
  }
}
