import Domain
import FoundationEssentials
import Sandboxing

/// Which content each release was made of: `DATA/images/NODE-RELEASE`, one line. A tag may move, a release must not.
struct ImagePins: Sendable {
  let folder: String

  struct Pin: Codable, Equatable, Sendable {
    var reference: String
    var pinned: String
  }

  /// nil when there is none, or it is of another reference.
  func read(_ host: HostName, reference: String) -> String? {
    guard let data = FileManager.default.contents(atPath: path(host)),
      let pin = try? JSONDecoder().decode(Pin.self, from: data), pin.reference == reference
    else { return nil }
    return pin.pinned
  }

  func write(_ host: HostName, _ pin: Pin) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try JSONEncoder().encode(pin).write(to: URL(filePath: path(host)), options: .atomic)
  }

  func remove(_ node: NodeID, keeping kept: Set<Int>) {
    for name in names() where name.hasPrefix("\(node)-") {
      guard let release = Int(name.dropFirst(node.text.utf8.count + 1)), !kept.contains(release) else {
        continue
      }
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
