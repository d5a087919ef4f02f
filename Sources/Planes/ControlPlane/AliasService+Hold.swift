public import Domain
public import Storage

/// Requests that wait while something is maintained.
extension AliasService {
  public static let longestHold = 600
  public static let mostHeld = 10_000
  static let usualHeld = 1000

  /// Lets the requests of an alias wait from now on; a hold that there is already is replaced, and what waits goes on waiting.
  /// Returns when the gateway holds.
  public func hold(
    _ alias: AliasRecord, _ request: HoldAliasRequest, by subject: String
  ) async throws(PlatformError) {
    let seconds = request.durationSeconds
    guard (1...Self.longestHold).contains(seconds) else {
      throw .invalid(
        "durationSeconds",
        "durationSeconds: \(seconds) is out of range; use 1 to \(Self.longestHold) seconds")
    }
    let limit = request.requestLimit ?? Self.usualHeld
    guard (1...Self.mostHeld).contains(limit) else {
      throw .invalid(
        "requestLimit", "requestLimit: \(limit) is out of range; use 1 to \(Self.mostHeld) requests")
    }
    let wait = request.waitSeconds ?? seconds
    guard (1...seconds).contains(wait) else {
      throw .invalid(
        "waitSeconds", "waitSeconds: \(wait) is out of range; use 1 to the hold's \(seconds) seconds")
    }
    let reason = request.reason ?? ""
    guard reason.utf8.count <= 200, !reason.unicodeScalars.contains(where: { $0.value < 0x20 }) else {
      throw .invalid("reason", "reason: use one line of at most 200 bytes")
    }
    let now = world.now()
    try await world.store.removeHold(of: alias.id, at: now)
    try await world.store.putHold(
      AliasHoldRecord(
        aliasID: alias.id, startedAt: now, startedBy: subject, endsAt: now + .seconds(seconds),
        requestLimit: limit, waitSeconds: wait, reason: reason))
    await fleet.aliasesChanged()
  }

  /// Sends what waits to the nodes, at once. Whether there was a hold.
  public func release(_ alias: AliasRecord) async throws(PlatformError) -> Bool {
    let was = try await hold(of: alias.id) != nil
    try await world.store.removeHold(of: alias.id, at: world.now())
    await fleet.aliasesChanged()
    return was
  }

  /// How an alias is held now; nil: it is not.
  public func hold(of alias: AliasID) async throws(PlatformError) -> AliasHoldStatus? {
    guard let record = try await world.store.holds(at: world.now()).first(where: { $0.aliasID == alias })
    else { return nil }
    return AliasHoldStatus(
      startedAt: record.startedAt, startedBy: record.startedBy, endsAt: record.endsAt,
      requestLimit: record.requestLimit, waitSeconds: record.waitSeconds, reason: record.reason,
      waiting: await fleet.held(ofAlias: alias))
  }
}
