internal import ControlClient
internal import Domain

/// `roost secret update`
enum SecretUpdate {
  static let command: Command = Command(
    "secret update", "give a secret a new value",
    purpose:
      "Gives a secret a new value, or with --description only another description. Instances that start from then on get the new value; those that run keep the old one until they are replaced (roost node reset NODE).",
    arguments: [Positional("SECRET", "id or name")],
    flags: [SecretInput.fromFile, Flag("description", .text, "what it is for; the value stays")],
    examples: ["roost secret update api-key", "roost secret update registry-password --from-file key.json"],
    surplus: SecretInput.refusal,
    run: { context in
      let description = context.parsed.text("description")
      var request = UpdateSecretRequest(description: description)
      var fields = description == nil ? [] : ["description"]
      if description == nil || context.parsed.text("from-file") != nil {
        let value = try SecretInput.read(context, for: context.first)
        request.value = value.text
        request.valueBase64 = value.base64
        fields.append("value")
      }
      let secret = try context.client().updateSecret(context.first, request, fields: fields)
      context.note("secret \(secret.name) has version \(secret.version)")
      try context.show(secret, names: [secret.name]) { "" }
    })
}
