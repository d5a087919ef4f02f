internal import ControlClient
internal import Domain

/// `roost token create`
enum TokenCreate {
  static let command: Command = Command(
    "token create", "a token for calls",
    purpose: "Makes an IAM token and prints it, alone on its line.",
    flags: [
      Flag("ttl", .duration, "how long it is good, at most 12h (1h)"),
      Flag("service-account", .text, value: "ACCOUNT", "whose token; id or name (yours)"),
      Flag("description", .text, "what it is for"),
    ],
    examples: [
      "roost token create --ttl 1h",
      "curl -H \"Authorization: Bearer $(roost token create --ttl 1h)\" $ROOST_URL/v1/nodes",
    ],
    run: { context in
      let parsed = context.parsed
      let token = try context.client().createToken(
        CreateTokenRequest(
          ttlSeconds: parsed.duration("ttl").map(\.wholeSeconds) ?? 3600,
          serviceAccount: parsed.text("service-account"), description: parsed.text("description")))
      let text = token.iamToken ?? ""
      try context.show(token, names: [text]) { text + "\n" }
    })
}
