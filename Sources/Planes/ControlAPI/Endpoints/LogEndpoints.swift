import Access
import ControlPlane
import Domain
import HTTPModel
import Storage
import Wire

/// Logs of nodes.
enum LogEndpoints {
  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery(
      "after", "tail", "wait", "since", "until", "instance", "release", "stream", "request", "previous",
      "grep")
    let node = try await logged(call, api)
    let now = api.world.now()
    var query = LogQuery(
      after: call.query["after"], tail: try call.number("tail", default: 100, in: 0...10_000),
      since: try moment("since", call, now), until: try moment("until", call, now))
    let wait = try call.number("wait", default: 0, in: 0...60)
    var ended: Set<String>?
    switch call.query["previous"] {
    case nil, "false": break
    case "true": ended = Set(await api.fleet.view(of: node)?.instances.map(\.id.text) ?? [])
    case .some(let text): throw .invalid("previous", "previous: '\(text)' must be true or false")
    }
    query.filter = try filter(call, live: ended)
    return try Answer.json(try await api.logs(node, query, wait))
  }

  /// Nodes that are gone and whose logs are kept, the last one that was deleted first.
  static func deletedNodes(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("folder", "page_size", "page_token")
    var records = try await api.store.deletedNodes().filter { call.sees($0.folderID) }
    if let name = call.query["folder"] {
      let folder = try await FolderEndpoints.find(name, field: "folder", api)
      records.removeAll { $0.folderID != folder.id }
    }
    let (page, next) = try Paging.page(records, call, key: \.id.text)
    let items = page.map {
      DeletedNodeResource(
        id: $0.id, name: $0.name, folderId: $0.folderID, deletedAt: $0.deletedAt,
        logBytes: api.logBytes($0.id) ?? 0)
    }
    return try Answer.json(ListResource(items: items, nextPageToken: next))
  }

  /// The node whose log is asked for: by id or name, also one that is gone; of several of one name the last.
  private static func logged(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> NodeID {
    do throws(PlatformError) { return try await NodeEndpoints.find(call, .view, api).id } catch {
      let text = call.segments[0]
      guard error.code == .notFound,
        let gone = try await api.store.deletedNodes().first(where: {
          $0.id.text == text || ($0.name == text && call.sees($0.folderID))
        })
      else { throw error }
      try call.require(.view, on: gone.folderID)
      return gone.id
    }
  }

  /// What must hold for a line; nil when everything goes. `live`: only lines of other instances than these.
  private static func filter(
    _ call: Call, live: Set<String>?
  ) throws(PlatformError) -> (@Sendable () -> (LogLine) -> Bool)? {
    let (instance, stream, request) = (call.query["instance"], call.query["stream"], call.query["request"])
    let release = try call.query["release"].map { _ throws(PlatformError) in
      try call.number("release", default: 1, in: 1...1_000_000_000)
    }
    var pattern: TextPattern?
    if let text = call.query["grep"] {
      do throws(PatternFault) { pattern = try TextPattern(text) } catch {
        throw .invalid("grep", "grep: the pattern '\(text)' \(error.reason)")
      }
    }
    guard
      instance != nil || stream != nil || request != nil || release != nil || pattern != nil || live != nil
    else { return nil }
    let compiled = pattern
    return {
      var pattern = compiled
      return { line in
        if let instance, line.instance != instance { return false }
        if let stream, line.stream != stream { return false }
        if let request, line.requestId != request { return false }
        if let release, line.release != release { return false }
        if let live {
          guard let one = line.instance, !live.contains(one) else { return false }
        }
        return pattern?.matches(line.message) ?? true
      }
    }
  }

  /// A time, or whole seconds back from now.
  private static func moment(
    _ name: String, _ call: Call, _ now: Timestamp
  ) throws(PlatformError) -> Timestamp? {
    guard let text = call.query[name] else { return nil }
    if let time = Timestamp(text) { return time }
    if let seconds = Int(text), (0...10_000_000_000).contains(seconds) {
      return now + .seconds(-seconds)
    }
    throw .invalid(
      name,
      "\(name): '\(text)' must be a time like 2026-05-01T12:00:00Z, or whole seconds back from now like 900")
  }
}
