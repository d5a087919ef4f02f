internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Synchronization
internal import Telemetry
internal import Wire

/// The hold of an alias as one loop sees it. Ends by the loop's own clock, also when the control plane is gone.
final class LoopHold {
  let alias: AliasID
  let name: String
  let shared: SharedAlias
  /// Names it in timers.
  let serial: UInt32
  var routed: RoutedHold
  /// Monotonic nanoseconds.
  var endsAt: Int64
  var hasEnded = false
  var timer = TimerWheel.Token.none
  /// Tags of requests in the order of their arrival; those that went since name nothing any more.
  var waiting: [UInt64] = []

  init(_ alias: RoutedAlias, _ routed: RoutedHold, _ shared: SharedAlias, serial: UInt32, endsAt: Int64) {
    self.alias = alias.id
    name = alias.name
    self.shared = shared
    self.routed = routed
    self.serial = serial
    self.endsAt = endsAt
  }
}

/// A request that waits for the end of a hold: all that is needed to take it up as if it had just come. In its loop's slab.
final class HeldRequest {
  /// Marks the tags of held requests among those of others.
  static let mark: UInt64 = 0x4000_0000
  /// Bytes of heads and bodies that may wait per alias.
  static let mostBytes = 256 << 20

  let slot: Int
  var serial: UInt32 = 1
  var hold: LoopHold?
  var exchange: UInt64 = 0
  let head = ByteQueue()
  var fields: [HTTP1Field] = []
  let body = ByteQueue()
  /// Of a request that is passed on: its tag; else 0.
  var proxied: UInt64 = 0
  var found = GatewayLoop.ProxyHeaders()
  var route: ProxyRoute?
  var isOpenInference = false
  /// Monotonic nanoseconds.
  var since: Int64 = 0
  var deadline: Int64 = 0
  /// The deadline is the caller's, not the hold's.
  var callerSetDeadline = false
  var timer = TimerWheel.Token.none
  /// What it counts for among the alias' bytes.
  var bytes = 0

  init(slot: Int) { self.slot = slot }

  var tag: UInt64 { UInt64(serial & 0xff_ffff) << 32 | Self.mark | UInt64(slot) }

  func free() {
    head.free()
    body.free()
  }
}

extension SharedAlias {
  enum HoldPlace { case taken, tooMany, tooMuch }

  /// Takes one of `limit` places for requests that wait, over all loops.
  func enterHold(limit: Int, bytes: Int) -> HoldPlace {
    guard held.wrappingAdd(1, ordering: .relaxed).newValue <= limit else {
      held.wrappingSubtract(1, ordering: .relaxed)
      return .tooMany
    }
    guard heldBytes.wrappingAdd(bytes, ordering: .relaxed).newValue <= HeldRequest.mostBytes else {
      leaveHold(bytes: bytes)
      return .tooMuch
    }
    holds.waited.add()
    return .taken
  }

  func leaveHold(bytes: Int) {
    held.wrappingSubtract(1, ordering: .relaxed)
    heldBytes.wrappingSubtract(bytes, ordering: .relaxed)
  }
}
