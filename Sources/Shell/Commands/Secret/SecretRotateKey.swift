internal import ControlClient
internal import Domain

/// `roost secret rotate-key`
enum SecretRotateKey {
  static let command: Command = Command(
    "secret rotate-key", "encrypt all secrets with a new master key",
    purpose:
      "Makes a new master key (DATA/keys/secrets.json of the server), encrypts the values of all secrets with it and forgets the old one. The secrets themselves don't change; change those that became known with roost secret update. Needs the role admin.",
    examples: ["roost secret rotate-key"],
    run: { context in
      let report = try context.client().rotateKey()
      context.note("\(report.resealed) secrets are encrypted with master key \(report.masterKey)")
      if !report.unreadable.isEmpty {
        context.note(
          "these could not be read and stay as they were; give their values anew with roost secret update: \(report.unreadable.joined(separator: ", "))"
        )
      }
      try context.show(report, names: [String(report.masterKey)]) { "" }
    })
}
