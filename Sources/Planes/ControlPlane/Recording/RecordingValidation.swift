import Domain
import Wire

/// Checks of what is asked of a recording.
enum RecordingValidation {
  static func spec(_ request: SetAliasRecordingRequest) throws(PlatformError) -> AliasRecordSpec {
    var spec = AliasRecordSpec()
    spec.enabled = request.enabled ?? spec.enabled
    spec.percent = request.percent ?? spec.percent
    spec.maxBytes = request.maxBytes ?? spec.maxBytes
    spec.maxAgeSeconds = request.maxAgeSeconds ?? spec.maxAgeSeconds
    spec.maxBodyBytes = request.maxBodyBytes ?? spec.maxBodyBytes
    spec.redact = request.redact ?? spec.redact
    spec.redactHeaders = request.redactHeaders ?? []
    spec.opaque = request.opaque ?? false
    spec.rules = request.rules ?? AnswerRules()
    spec.gate = request.gate
    try MirrorValidation.check(percent: spec.percent)
    try MirrorValidation.check("maxBytes", spec.maxBytes, in: 65_536...(256 << 20))
    try MirrorValidation.check("maxAgeSeconds", spec.maxAgeSeconds, in: 60...2_592_000)
    try MirrorValidation.check(
      "maxBodyBytes", spec.maxBodyBytes, in: 1024...min(MirrorValidation.mostBodyBytes, spec.maxBytes / 8))
    try AnswerComparer.check(spec.rules, slower: nil)
    guard spec.redact.count <= 50 else {
      throw .invalid("redact", "redact: \(spec.redact.count) places are too many; use at most 50")
    }
    for (index, place) in spec.redact.enumerated() where JSONPlace(place) == nil {
      throw .invalid(
        "redact[\(index)]",
        "redact[\(index)]: '\(place.prefix(64))' is no place in JSON; write input.card.number, **.pin or /a.b/0"
      )
    }
    for (index, name) in spec.redactHeaders.enumerated() where name.isEmpty || name.contains(" ") {
      throw .invalid("redactHeaders[\(index)]", "redactHeaders[\(index)]: '\(name)' is no name of a header")
    }
    if let gate = spec.gate { try check(gate) }
    return spec
  }

  private static func check(_ gate: AliasReplayGate) throws(PlatformError) {
    try check(mismatch: gate.maxMismatchPercent, "gate.maxMismatchPercent")
    try check(ratio: gate.maxLatencyRatio, "gate.maxLatencyRatio")
    try MirrorValidation.check("gate.minRequests", gate.minRequests, in: 1...1_000_000)
  }

  static func check(mismatch: Double, _ field: String) throws(PlatformError) {
    guard (0...100).contains(mismatch) else {
      throw .invalid(field, "\(field): \(mismatch) is out of range; use 0 to 100 percent")
    }
  }

  static func check(ratio: Double?, _ field: String) throws(PlatformError) {
    guard let ratio, !(ratio > 0) else { return }
    throw .invalid(field, "\(field): \(ratio) must be above 0, like 1.5 for half as long again")
  }
}
