import Domain
import FoundationEssentials
import Sandboxing

/// Which content each release was made of: `DATA/images/NODE-RELEASE`, one line. A tag may move, a release must not.
///
/// What was built on an engine has another id on each: that of a zone other than the usual one is in `NODE-RELEASE@ZONE`.
struct ImagePins: Sendable {
  let folder: String
  /// nil: the usual one.
  var zone: String?

  struct Pin: Codable, Equatable, Sendable {
    var reference: String
    var pinned: String
  }

  /// nil when there is none, or it is of another reference.
  func read(_ host: HostName, reference: String) -> String? {
    if let zone, let own = read("\(path(host))@\(zone)", reference) { return own }
    let shared = read(path(host), reference)
    return zone != nil && shared.map(Self.isLocal) ?? false ? nil : shared
  }

  private func read(_ path: String, _ reference: String) -> String? {
    guard let data = FileManager.default.contents(atPath: path),
      let pin = try? JSONDecoder().decode(Pin.self, from: data), pin.reference == reference
    else { return nil }
    return pin.pinned
  }

  /// An id of an engine's own instead of a registry's digest.
  private static func isLocal(_ pinned: String) -> Bool { pinned.hasPrefix("sha256:") }

  func write(_ host: HostName, _ pin: Pin) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let suffix = Self.isLocal(pin.pinned) ? zone.map { "@\($0)" } ?? "" : ""
    try JSONEncoder().encode(pin).write(to: URL(filePath: path(host) + suffix), options: .atomic)
  }

  func remove(_ node: NodeID, keeping kept: Set<Int>) {
    for name in names() where name.hasPrefix("\(node)-") {
      let number = name.dropFirst(node.text.utf8.count + 1).prefix { $0 != "@" }
      guard let release = Int(number), !kept.contains(release) else { continue }
      try? FileManager.default.removeItem(atPath: "\(folder)/\(name)")
    }
  }

  func removeOthers(than nodes: Set<NodeID>) {
    for name in names() {
      guard let node = NodeID(String(name.prefix(NodeID.length))), !nodes.contains(node) else { continue }
      try? FileManager.default.removeItem(atPath: "\(folder)/\(name)")
    }
  }

  private func names() -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] }
  private func path(_ host: HostName) -> String { "\(folder)/\(host.node)-\(host.release)" }
}
