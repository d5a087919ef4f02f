import Domain
import Sandboxing

/// The ranges of addresses that this machine reaches by an interface of its own already.
///
/// An engine knows its own networks only: a bridge of another engine, or one that a killed engine left, may have the very range
/// that it is asked to use. Then it's chance which of the two the machine sends to, and nothing else tells of it than "no route
/// to host".
struct MachineRoutes: Sendable, Equatable {
  struct Route: Sendable, Equatable {
    var interface: String
    var range: SubnetRange
  }

  var routes: [Route]

  /// Those of now; none where the system doesn't tell.
  static func current() -> MachineRoutes {
    MachineRoutes(table: Files.readText("/proc/net/route") ?? "")
  }

  /// `/proc/net/route` (proc(5)): a head, then lines of interface, destination and, as the eighth, mask; both are numbers as they
  /// lie in memory.
  init(table: String) {
    routes = table.split(separator: "\n").dropFirst().compactMap { line in
      let fields = line.split(whereSeparator: { $0 == "\t" || $0 == " " })
      guard fields.count >= 8, let destination = UInt32(fields[1], radix: 16),
        let mask = UInt32(fields[7], radix: 16)
      else { return nil }
      let parts = withUnsafeBytes(of: destination) { $0.map { String($0) } }
      let range = SubnetRange("\(parts.joined(separator: "."))/\(mask.nonzeroBitCount)")
      return range.map { Route(interface: String(fields[0]), range: $0) }
    }
  }

  /// Those that take traffic from the range: they are as narrow, or narrower.
  func conflicts(with range: SubnetRange) -> [Route] {
    routes.filter { $0.range.bits >= range.bits && $0.range.overlaps(range) }
  }

  /// A wider one, like that of a tunnel: the range works, but what lies behind the tunnel there can't be reached any more.
  func isCovered(_ range: SubnetRange) -> Bool {
    routes.contains { $0.range.bits > 0 && $0.range.bits < range.bits && $0.range.overlaps(range) }
  }

  /// Ranges in the order to try them; without those that another interface has.
  func usable(_ candidates: [SubnetRange]) -> [SubnetRange] {
    let free = candidates.filter { conflicts(with: $0).isEmpty }
    return free.filter { !isCovered($0) } + free.filter(isCovered)
  }
}
