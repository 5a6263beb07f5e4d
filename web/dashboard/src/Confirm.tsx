// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ReactElement } from "react";
import { Button, Dialog, DialogTrigger, Heading, Modal } from "react-aria-components";

/** Confirm asks before it does what cannot be taken back; children is the button that opens it. */
export function Confirm({ title, verb, then, children, text }: { title: string; text: string; verb: string; then: () => void; children: ReactElement }) {
  return (
    <DialogTrigger>
      {children}
      <Modal isDismissable className="modal">
        <Dialog role="alertdialog">
          {({ close }) => (
            <>
              <Heading slot="title">{title}</Heading>
              <p>{text}</p>
              <Button onPress={close}>Cancel</Button>{" "}
              <Button
                className="grave"
                onPress={() => {
                  close();
                  then();
                }}
              >
                {verb}
              </Button>
            </>
          )}
        </Dialog>
      </Modal>
    </DialogTrigger>
  );
}
