/// The static checks of where a node wants secrets.
public enum SecretValidation {
  /// A name of a secret, as a node's field gives it.
  static func checkName(_ name: String, _ field: String) throws(PlatformError) {
    do throws(PlatformError) { try ResourceName.check(name, field: field) } catch {
      // It may be a value that was given by mistake: it must not stand in a message.
      throw .invalid(
        field,
        "\(field): is not a name of a secret (3 to 63 characters a-z, 0-9 and '-'); give the name, never the value: roost secret list"
      )
    }
  }

  /// A name of a variable, as a member of `field`.
  static func checkVariable(_ name: String, in field: String) throws(PlatformError) {
    let isName =
      !name.isEmpty && name.utf8.count <= 256
      && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "=") }
    guard isName else { throw .invalid(field, "\(field): '\(name)' is not a name of a variable") }
  }

  /// The variables of a cell node's instances.
  public static func checkCell(_ secrets: [String: String]?) throws(PlatformError) {
    for (name, secret) in (secrets ?? [:]).sorted(by: { $0.key < $1.key }) {
      try checkVariable(name, in: "secrets")
      let reserved = ["HOME", "LANG", "PATH", "TMPDIR"]
      guard !reserved.contains(name), !name.hasPrefix("PYTHON"), !name.hasPrefix("LD_") else {
        throw .invalid("secrets.\(name)", "secrets.\(name): is set by the platform; use another name")
      }
      try checkName(secret, "secrets.\(name)")
    }
  }
}

/// Where a node's spec names a secret.
public struct SecretUse: Sendable, Equatable {
  /// The path of the field.
  public var field: String
  /// The name of the secret.
  public var secret: String
}

extension NodeSpec {
  /// Every secret that the node's instances and images need.
  public var secretUses: [SecretUse] {
    func uses(_ names: [String: String]?, _ field: String) -> [SecretUse] {
      (names ?? [:]).sorted { $0.key < $1.key }.map {
        SecretUse(field: "\(field).\($0.key)", secret: $0.value)
      }
    }
    let passwords = [
      ("image.passwordSecret", image?.passwordSecret), ("model.passwordSecret", model?.passwordSecret),
    ].compactMap { field, secret in secret.map { SecretUse(field: field, secret: $0) } }
    return passwords + uses(image?.secrets, "image.secrets") + uses(image?.secretFiles, "image.secretFiles")
      + uses(cell?.secrets, "secrets")
  }
}
