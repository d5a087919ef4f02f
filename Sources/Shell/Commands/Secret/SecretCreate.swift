internal import ControlClient
internal import Domain

/// `roost secret create`
enum SecretCreate {
  static let command: Command = Command(
    "secret create", "keep an encrypted value in a folder",
    purpose:
      "Keeps a value of at most 64 KiB, encrypted, for nodes of the folder: as a variable, a file or the password of a registry. It is read from standard input (without a newline at its end), from a file, or asked for; it is never shown again.",
    arguments: [Positional("NAME", "3 to 63 characters a-z, 0-9 and -")],
    flags: [
      SecretInput.fromFile, Flag("folder", .text, value: "FOLDER", "owner, id or name (default)"),
      Flag("description", .text, "what it is for"),
    ],
    examples: [
      "roost secret create api-key", "printenv API_KEY | roost secret create api-key",
      "roost secret create registry-password --from-file key.json",
    ],
    surplus: SecretInput.refusal,
    run: { context in
      let parsed = context.parsed
      let value = try SecretInput.read(context, for: context.first)
      let secret = try context.client().createSecret(
        CreateSecretRequest(
          name: context.first, folder: parsed.text("folder"), description: parsed.text("description"),
          value: value.text, valueBase64: value.base64))
      context.note("secret \(secret.name) is kept")
      try context.show(secret, names: [secret.name]) { "" }
    })
}
