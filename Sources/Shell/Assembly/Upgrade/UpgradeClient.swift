import FoundationEssentials
import Glibc
import Sandboxing

/// `roost upgrade`: asks the process that serves to have another one take over.
public enum UpgradeClient {
  /// Prints what came of it. 0: the new process serves; 1: the old one does, and why; 5: no process serves.
  public static func run(
    dataFolder: String, binary: String?, timeout: Double, drain: Double, asJSON: Bool
  ) async -> Int32 {
    let path = UpgradeDoor.path(DataFolder.absolute(dataFolder))
    let connection: UnixConnection
    do throws(UnixConnection.Failure) { connection = try UnixConnection(path: path) } catch {
      var why = "nobody listens there"
      if case .refused(let failure) = error { why = failure.description }
      complain("no roost serves the data folder \(dataFolder), or not for this user: \(why)")
      return 5
    }
    UpgradeDoor.write(
      UpgradeRequest(binary: binary, timeoutSeconds: timeout, drainSeconds: drain), to: connection)
    // What may come on top: requests under way end, the database is copied, the old process begins again.
    let report: UpgradeReport? = await offload {
      UpgradeDoor.read(connection, within: .seconds(timeout + 120))
    }
    guard let report else {
      complain("the process that serves did not say what came of it: see its log")
      return 1
    }
    if asJSON {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
      if let text = try? encoder.encode(report) { print(String(decoding: text, as: UTF8.self)) }
    } else if report.upgraded {
      print(
        "\(report.message) (roost \(report.version)), after \(rounded(report.seconds)) s; changes by the API waited for \(rounded(report.heldSeconds)) s; the old process ends when its last request has, within \(rounded(drain + 10)) s"
      )
    }
    if !report.upgraded { complain("\(report.message); process \(report.pid) serves on as before") }
    return report.upgraded ? 0 : 1
  }

  private static func rounded(_ seconds: Double) -> String {
    let tenths = Int((seconds * 10).rounded(.up))
    return "\(tenths / 10).\(tenths % 10)"
  }

  private static func complain(_ message: String) {
    var rest = Array("error: \(message)\n".utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }
}
