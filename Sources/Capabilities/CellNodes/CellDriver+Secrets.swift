import Domain
import DriverAPI

extension CellDriver {
  /// The variables of a new instance whose values are secrets.
  func variables(of launch: NodeLaunch) async throws(DriverFailure) -> [String: String] {
    var result: [String: String] = [:]
    for (name, secret) in (launch.secrets ?? [:]).sorted(by: { $0.key < $1.key }) {
      let words = launcher.words(launch)
      let value: [UInt8]
      do throws(PlatformError) { value = try await configuration.secret(launch.node, secret) } catch {
        throw words.failure(
          .launch, error.code == .notFound ? .missing : .refused, "secrets.\(name): \(error.message)")
      }
      guard let text = String(validating: value, as: UTF8.self), !text.utf8.contains(0) else {
        throw words.failure(
          .launch, .refused,
          "secrets.\(name): the value of secret '\(secret)' has bytes that a variable can't hold; give a text: roost secret update \(secret)"
        )
      }
      result[name] = text
    }
    return result
  }
}
