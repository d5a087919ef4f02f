internal import Domain
internal import Storage

extension AliasService {
  /// Throws while requests of the alias move by a ramp: its weights and nodes are the ramp's then. `field` begins the message.
  func refuseDuringRamp(of alias: AliasRecord, _ field: String = "") async throws(PlatformError) {
    guard let ramp = try await world.store.ramp(of: alias.id), ramp.status.isUnderWay else { return }
    let to = try? await world.store.node(named: ramp.nodeID.text)
    throw Self.underWay(alias, ramp, to: to?.name, field)
  }

  static func underWay(
    _ alias: AliasRecord, _ ramp: RampRecord, to name: String? = nil, _ field: String = ""
  ) -> PlatformError {
    PlatformError(
      .failedPrecondition,
      "\(field.isEmpty ? "" : field + ": ")alias '\(alias.name)' has a ramp to node '\(name ?? ramp.nodeID.text)' under way: wait for its end, or end it first (roost alias promote \(alias.name), roost alias abort \(alias.name))",
      origin: .caller, field: field.isEmpty ? nil : field)
  }
}
