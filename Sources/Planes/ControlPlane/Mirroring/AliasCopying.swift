import Domain
import Storage

/// Which of an alias' requests the gateway is to copy.
enum AliasCopying {
  static func routed(
    _ settings: [AliasSettingRecord], _ alias: AliasRecord, _ spec: AliasSpec
  ) throws(PlatformError) -> RoutedCopying? {
    var copying = RoutedCopying(mirrorPermyriad: 0, recordPermyriad: 0, mostBodyBytes: 0)
    for setting in settings where setting.aliasID == alias.id {
      switch setting.kind {
      case .mirror:
        let mirror = try StoredJSON.value(AliasMirrorSpec.self, from: setting.settingsJSON)
        guard resting(mirror, spec) == nil else { continue }
        copying.mirrorPermyriad = permyriad(mirror.percent)
        copying.mostBodyBytes = max(copying.mostBodyBytes, mirror.maxBodyBytes)
      case .record:
        let record = try StoredJSON.value(AliasRecordSpec.self, from: setting.settingsJSON)
        guard record.enabled else { continue }
        copying.recordPermyriad = permyriad(record.percent)
        copying.mostBodyBytes = max(copying.mostBodyBytes, record.maxBodyBytes)
      }
    }
    return copying.mirrorPermyriad + copying.recordPermyriad > 0 ? copying : nil
  }

  /// Why nothing is sent now.
  static func resting(_ mirror: AliasMirrorSpec, _ spec: AliasSpec) -> String? {
    guard spec.shares.contains(where: { $0.nodeId == mirror.nodeId && $0.weight > 0 }) else { return nil }
    return "the node has a share of the alias: copies would be in the way of its own requests"
  }

  private static func permyriad(_ percent: Double) -> Int { max(Int((percent * 100).rounded()), 1) }
}
