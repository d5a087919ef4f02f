// Fields are called what the engine calls them.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import FoundationEssentials
import Synchronization

/// Something that happened to a container.
public struct EngineEvent: Sendable, Decodable, Equatable {
  public struct Actor: Sendable, Decodable, Equatable {
    public var ID: String
    public var Attributes: [String: String]?
  }

  public var Action: String
  public var Actor: Actor
  public var timeNano: Int64?

  /// As `since` of the next stream takes it: seconds with nine decimals.
  public var moment: String? {
    timeNano.map { nanoseconds in
      let digits = String(nanoseconds % 1_000_000_000)
      return "\(nanoseconds / 1_000_000_000).\(String(repeating: "0", count: 9 - digits.count))\(digits)"
    }
  }
}

extension EngineClient {
  /// Events of containers with a label, until the engine ends, the task is cancelled or the closure returns false.
  ///
  /// - Parameter since: `moment` of the last event seen; events of that moment come again.
  public func events(
    labelled label: String, actions: [String], since: String? = nil,
    onEvent: @escaping @Sendable (EngineEvent) -> Bool
  ) async throws(EngineError) {
    let filters = EngineFilters(["type": ["container"], "event": actions, "label": [label]])
    var query = [("filters", filters.text)]
    if let since { query.append(("since", since)) }
    let lines = Mutex(LineReader())
    try await stream("GET", "/events", query, doing: "events", silence: .seconds(7 * 86400)) { part in
      for line in lines.withLock({ $0.lines(part) }) {
        guard let event = try? JSONDecoder().decode(EngineEvent.self, from: Data(line)) else { continue }
        guard onEvent(event) else { return false }
      }
      return true
    }
  }
}
