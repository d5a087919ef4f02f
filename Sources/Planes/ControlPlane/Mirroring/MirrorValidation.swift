import Domain

/// Checks of what is asked of a mirror.
enum MirrorValidation {
  static let mostBodyBytes = 16 << 20

  static func spec(
    _ request: SetAliasMirrorRequest, node: NodeID
  ) throws(PlatformError) -> AliasMirrorSpec {
    var spec = AliasMirrorSpec(nodeId: node)
    spec.percent = request.percent ?? spec.percent
    spec.compare = request.compare ?? spec.compare
    spec.rules = AnswerRules(
      tolerance: request.tolerance ?? 0, ignore: request.ignore ?? [], unordered: request.unordered ?? [])
    spec.maxConcurrent = request.maxConcurrent ?? spec.maxConcurrent
    spec.maxBytesPerSecond = request.maxBytesPerSecond ?? spec.maxBytesPerSecond
    spec.maxBodyBytes = request.maxBodyBytes ?? spec.maxBodyBytes
    spec.slower = request.slower
    try check(percent: spec.percent)
    try check("maxConcurrent", spec.maxConcurrent, in: 1...256)
    try check("maxBytesPerSecond", spec.maxBytesPerSecond, in: 1024...(1 << 30))
    try check("maxBodyBytes", spec.maxBodyBytes, in: 1024...mostBodyBytes)
    try AnswerComparer.check(spec.rules, slower: spec.slower)
    return spec
  }

  static func check(percent: Double) throws(PlatformError) {
    guard percent >= 0.01, percent <= 100 else {
      throw .invalid(
        "percent", "percent: \(percent) is out of range; use 0.01 to 100, or turn it off to copy nothing")
    }
  }

  static func check(_ field: String, _ value: Int, in range: ClosedRange<Int>) throws(PlatformError) {
    guard range.contains(value) else {
      throw .invalid(
        field, "\(field): \(value) is out of range; use \(range.lowerBound) to \(range.upperBound)")
    }
  }
}
